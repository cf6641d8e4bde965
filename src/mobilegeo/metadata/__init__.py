"""What a photo says of itself, and what a telemetry file says of it.

`ifd` and `exif` read EXIF, `makernote` and `xmp` the attitude that drones add to it, `attitude`
brings their conventions to ours, `lens` turns focal lengths into a field of view, `own` puts all
of it together, and `telemetry` holds the values from whichever source.
"""

"""Position over time: a video or an ordered folder of photos becomes a smoothed track."""

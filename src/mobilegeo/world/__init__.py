"""A generated world and the renderer of drone views, of that world or of any orthophoto.

`write_demo` makes a complete example; `load_scene` and `render_view` make views of real places.
"""

from mobilegeo.world.appearance import Appearance, render_ortho, scene_of
from mobilegeo.world.demo import DemoFiles, write_demo
from mobilegeo.world.generate import World, generate_world
from mobilegeo.world.geotiff import load_scene
from mobilegeo.world.raycast import Hits, cast_rays
from mobilegeo.world.render import Light, render_view
from mobilegeo.world.scene import Facades, Scene

__all__ = [
    "Appearance",
    "DemoFiles",
    "Facades",
    "Hits",
    "Light",
    "Scene",
    "World",
    "cast_rays",
    "generate_world",
    "load_scene",
    "render_ortho",
    "render_view",
    "scene_of",
    "write_demo",
]

"""Where the trainers of a sweep's trials run: one file a kind, all below `Place`."""

from stsflow.tasks.sweeping.places.family import Place
from stsflow.tasks.sweeping.places.ray_cluster import Ray
from stsflow.tasks.sweeping.places.threads import Threads

__all__ = ["Place", "Ray", "Threads"]

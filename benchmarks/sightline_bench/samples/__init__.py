"""A seeded renderer of product-like pictures, so that the project owns every sample it ships."""

from .canvas import SampleError
from .catalogue import MANIFEST_COLUMNS, write_catalogue
from .distractors import DISTRACTOR_KINDS, distractor
from .items import SampleItem, make_items
from .views import blurred, phone_view, studio_view

__all__ = [
    "DISTRACTOR_KINDS",
    "MANIFEST_COLUMNS",
    "SampleError",
    "SampleItem",
    "blurred",
    "distractor",
    "make_items",
    "phone_view",
    "studio_view",
    "write_catalogue",
]

"""Phantoms whose patients are drawn once in a process: most of the time of a small phantom is their drawing."""

from unittest import mock

from data_setup.phantom import generate
from data_setup.phantom.anatomy import render

_drawn = {}


def _render(patient, slices, draws):
    """`render`, kept; a patient's random numbers are determined by the seed and the number, and so are all latents."""
    key = patient, slices
    if key not in _drawn:
        _drawn[key] = render(patient, slices, draws)
        _drawn[key].flags.writeable = False
    return _drawn[key]


def make_phantom(out, **options):
    """`data_setup.phantom.generate.make_phantom`."""
    with mock.patch.object(generate, "render", _render):
        return generate.make_phantom(out, **options)

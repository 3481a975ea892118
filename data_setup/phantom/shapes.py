"""Drawing primitives of the phantom: smooth steps, strokes and smooth noise, from exactly rounded operations only.

Only + - * / sqrt, floor and comparisons are used: IEEE 754 rounds those exactly, so any machine draws the same bytes,
unlike with sin, exp, powers and sums over an axis. Distances are in pixels, negative inside.
"""

import numpy as np

HEIGHT, WIDTH = 96, 80


def step(x, low, high):
    """0 below `low`, 1 above `high`, 3 h^2 - 2 h^3 between; decreasing if `low` is above `high`."""
    h = np.clip((x - low) / (high - low), 0.0, 1.0)
    return h * h * (3.0 - 2.0 * h)


def inside(distance, edge=0.7):
    """Share of a pixel within a structure whose boundary is `distance` pixels away."""
    return step(distance, edge, -edge)


def paint(image, value, share):
    return image + share * (value - image)


def capsule(x, y, start, end, start_radius, end_radius):
    """Signed distance to a stroke from `start` to `end` whose radius changes on the way."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    dx, dy = x - start[0], y - start[1]
    share = np.clip((dx * along_x + dy * along_y) / (along_x * along_x + along_y * along_y), 0.0, 1.0)
    dx, dy = dx - share * along_x, dy - share * along_y
    return np.sqrt(dx * dx + dy * dy) - (start_radius + share * (end_radius - start_radius))


def turn(half_tangent):
    """(cosine, sine) of the angle whose half has this tangent."""
    square = half_tangent * half_tangent
    return (1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square)


def smooth_noise(draws, levels, rows, columns, amplitude, size=(HEIGHT, WIDTH)):
    """Random values on a coarse lattice, interpolated to every level and pixel: (slices, *size)."""
    values = draws.uniform(-amplitude, amplitude, (3, rows + 1, columns + 1))
    shape = (len(levels), *size)
    for axis, cells in enumerate((2, rows, columns)):
        place = np.arange(shape[axis]) / shape[axis] * cells if axis else np.asarray(levels) * cells
        cell = np.minimum(np.floor(place), cells - 1).astype(int)
        share = step(place - cell, 0.0, 1.0).reshape([-1 if a == axis else 1 for a in range(3)])
        low, high = np.take(values, cell, axis), np.take(values, cell + 1, axis)
        values = low + share * (high - low)
    return values

"""How well a frame shows a face: the measure by which a track's best frames are told.

Of the components that ISO/IEC 29794-5 lists, those that cost microseconds and need no net of their own: size, pose,
sharpness and exposure. Their product is for comparing frames of one face, and no probability of anything.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]

# Between the eyes, and from between the eyes to between the mouth's corners, in ArcFace's template of 112 x 112
# (insightface, utils/face_align.py: arcface_dst), pixels. In a smaller face the aligned crop is enlarged.
_EYES = 35.2
_EYES_TO_MOUTH = 40.7
_NOSE = 0.49  # the template's nose on the way from the eyes to the mouth: about half way down, from in front
_SIDE = 64  # pixels, of the grey picture that sharpness and exposure are measured in
# The Laplacian's variance as a share of the grey values', at which sharpness is 0.63. On 34 photos' faces, each
# blurred, shaken, shrunk, darkened and lit up in 21 ways, this ranked the recognizer's errors best (of 0.03 to 0.25).
_SHARP = 0.15
_CONTRAST = 50.0  # variance of grey that is noise, and makes an even surface look no sharper
_DARK, _BRIGHT = 16, 240  # grey; beyond them details are lost
_FAR = 1e6  # pixels; beyond any picture


def qualities(pixels: Pixels, faces: Array) -> Array:
    """Of each of `faces` in `pixels`, uint8 [height, width, 3], BGR: float64 [N], 0, useless, to 1.

    `faces`, float64 [N, 14], are x1 y1 x2 y2 and five landmarks' x y, pixels; any go: outside, coinciding points.

    The product of size (the aligned crop is not enlarged: 1), frontality (by where the nose is between the eyes and the
    mouth), sharpness (variance of the Laplacian: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy,
    ICPR 2000; here as a share of the contrast, or all that is dark would be blurred), exposure (the share of pixels
    that are neither black nor white), and the share of the box that is in the picture.
    """
    faces = np.clip(faces, -_FAR, _FAR)
    boxes, points = faces[:, :4], faces[:, 4:].reshape(-1, 5, 2)
    height, width = pixels.shape[:2]
    inside = np.floor(np.clip(boxes, 0, [width, height, width, height])).astype(int)
    sides = inside[:, 2:] - inside[:, :2]
    found: Array = _size(points) * _frontality(points) * (sides >= 2).all(axis=1)
    for index in np.flatnonzero(found):
        left, top, right, bottom = inside[index].tolist()
        x1, y1, x2, y2 = boxes[index].tolist()
        visible = min(1.0, (right - left) * (bottom - top) / ((x2 - x1) * (y2 - y1)))
        found[index] *= visible * _image(pixels[top:bottom, left:right])
    return found


def _size(points: Array) -> Array:
    """How large faces are beside the template; the longer of two lengths, since a turn of the head shortens one."""
    across, down = _axes(points)
    return np.minimum(1.0, np.maximum(_length(across) / _EYES, _length(down) / _EYES_TO_MOUTH))


def _frontality(points: Array) -> Array:
    """1 from in front, 0 where the nose is above an eye or beside it, as in a profile."""
    across, down = _axes(points)
    nose = points[:, 2] - points[:, :2].mean(axis=1)
    across_2, down_2 = np.maximum((across**2).sum(axis=1), 1e-6), np.maximum((down**2).sum(axis=1), 1e-6)
    turned = 2 * np.abs((nose * across).sum(axis=1) / across_2)  # 0: between the eyes, 1: at one
    nodded = np.abs((nose * down).sum(axis=1) / down_2 - _NOSE) / _NOSE
    good = np.maximum(0.0, 1 - turned) * np.maximum(0.0, 1 - nodded)
    return np.where((across_2 > 1e-6) & (down_2 > 1e-6), good, 0.0)


def _axes(points: Array) -> tuple[Array, Array]:
    """From eye to eye, and from between the eyes to between the mouth's corners; [N, 2] each."""
    return points[:, 1] - points[:, 0], points[:, 3:].mean(axis=1) - points[:, :2].mean(axis=1)


def _length(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _image(crop: Pixels) -> float:
    every = max(1, min(crop.shape[:2]) // (2 * _SIDE))  # a large face is thinned out first, for speed
    thinned = cv2.cvtColor(np.ascontiguousarray(crop[::every, ::every]), cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(thinned, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    contrast, edges = (float(cv2.meanStdDev(each)[1][0, 0]) ** 2 for each in (grey, cv2.Laplacian(grey, cv2.CV_16S)))
    sharpness = 1 - math.exp(-edges / (contrast + _CONTRAST) / _SHARP)
    exposure = float(((grey >= _DARK) & (grey <= _BRIGHT)).mean())
    return sharpness * exposure

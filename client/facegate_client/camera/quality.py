"""How well a frame shows a face: the measure by which a track's best frames are told.

Of the components that ISO/IEC 29794-5 lists, those that cost microseconds and need no net of their own: size, pose,
sharpness and exposure. Their product is for comparing frames of one face, and no probability of anything.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate_client.results import Face

Pixels = NDArray[np.uint8]

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


def quality(pixels: Pixels, face: Face) -> float:
    """0, useless, to 1 of `face` in `pixels`, uint8 [height, width, 3], BGR. Any face goes: outside, coinciding points.

    The product of size (the aligned crop is not enlarged: 1), frontality (by where the nose is between the eyes and the
    mouth), sharpness (variance of the Laplacian: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy,
    ICPR 2000; here as a share of the contrast, or all that is dark would be blurred), exposure (the share of pixels
    that are neither black nor white), and the share of the box that is in the picture.
    """
    points = np.clip(np.asarray(face.landmarks, dtype=np.float64), -_FAR, _FAR)
    posed = _size(points) * _frontality(points)
    x1, y1, x2, y2 = (min(max(value, -_FAR), _FAR) for value in face.box)
    height, width = pixels.shape[:2]
    left, top, right, bottom = (
        math.floor(min(max(value, 0), limit)) for value, limit in ((x1, width), (y1, height), (x2, width), (y2, height))
    )
    if right - left < 2 or bottom - top < 2 or posed == 0:
        return 0.0
    visible = min(1.0, (right - left) * (bottom - top) / ((x2 - x1) * (y2 - y1)))
    return float(posed * visible * _image(pixels[top:bottom, left:right]))


def _size(points: NDArray[np.float64]) -> float:
    """How large the face is beside the template; the longer of two lengths, since a turn of the head shortens one."""
    eyes = float(np.linalg.norm(points[1] - points[0])) / _EYES
    down = float(np.linalg.norm(points[3:].mean(axis=0) - points[:2].mean(axis=0))) / _EYES_TO_MOUTH
    return min(1.0, max(eyes, down))


def _frontality(points: NDArray[np.float64]) -> float:
    """1 from in front, 0 where the nose is above an eye or beside it, as in a profile."""
    across = points[1] - points[0]
    down = points[3:].mean(axis=0) - points[:2].mean(axis=0)
    nose = points[2] - points[:2].mean(axis=0)
    if across @ across < 1e-6 or down @ down < 1e-6:
        return 0.0
    turned = 2 * abs(float(nose @ across / (across @ across)))  # 0: between the eyes, 1: at one
    nodded = abs(float(nose @ down / (down @ down)) - _NOSE) / _NOSE
    return max(0.0, 1 - turned) * max(0.0, 1 - nodded)


def _image(crop: Pixels) -> float:
    every = max(1, min(crop.shape[:2]) // (2 * _SIDE))  # a large face is thinned out first, for speed
    small = cv2.resize(np.ascontiguousarray(crop[::every, ::every]), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    contrast, edges = (float(cv2.meanStdDev(each)[1][0, 0]) ** 2 for each in (grey, cv2.Laplacian(grey, cv2.CV_16S)))
    sharpness = 1 - math.exp(-edges / (contrast + _CONTRAST) / _SHARP)
    exposure = float(((grey >= _DARK) & (grey <= _BRIGHT)).mean())
    return sharpness * exposure

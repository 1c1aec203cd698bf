"""Pixels: decode, encode, crop, resize, mirror, rotate, draw. The camera and the joints follow every move."""

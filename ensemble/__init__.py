"""Run time: the pipeline from pixels to verdict, and what serves it inside Triton."""

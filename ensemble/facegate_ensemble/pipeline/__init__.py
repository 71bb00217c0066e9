"""From pixels to verdict: the steps, and the pipeline of them."""

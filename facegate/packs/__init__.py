"""The model packs that are shipped, and how a pack's file is read."""

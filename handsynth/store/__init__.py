"""The one format of handsynth: pixels in Zarr, numbers in Parquet. ``schemas/FORMAT.md`` says it in words."""

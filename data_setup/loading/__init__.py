"""Listed slices → batches on the device."""

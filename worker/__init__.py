"""The worker: drives devices, claims batches for them and runs their jobs."""

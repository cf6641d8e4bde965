"""What feeds training: places into batches of views, augmented, each one reproducible."""

"""The training engine: data, augmentation, loop, checkpoints. It knows no files of the pipeline and no MLflow."""

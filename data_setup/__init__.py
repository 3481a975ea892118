"""From image files to batches. Independent of the model."""


def __getattr__(name: str):
    """`data_setup.create_dataloaders`, without importing torch for those who only want the phantom."""
    if name == "create_dataloaders":
        from data_setup.loading.dataloaders import create_dataloaders

        return create_dataloaders
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Where weights are: a file, a folder of transformers, timm or open_clip, or the Hugging Face Hub."""

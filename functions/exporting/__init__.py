"""A trained network as files for other programs: ONNX, torch.export and Hugging Face's layout, with its preprocessing.
"""

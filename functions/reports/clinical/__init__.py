"""Text and figures of the answers to clinical questions."""

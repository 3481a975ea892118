"""Attention maps: attention weights, rollout and relevance, their overlays, and tests of their faithfulness."""

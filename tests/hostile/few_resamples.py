"""Makes bootstraps short, imported before all other modules of ours: hundreds of runs, and no interval is read."""

import functions.evaluation.intervals

functions.evaluation.intervals.RESAMPLES = 40

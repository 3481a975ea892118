"""Learning curves: the same methods on growing numbers of training patients, tested on the same folds."""

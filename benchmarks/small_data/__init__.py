"""Networks from scratch on few patients: locality, and masked autoencoding of the training slices."""

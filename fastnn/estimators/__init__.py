"""Estimators with the interface of scikit-learn's multi-layer perceptrons, trained by fastnn.

from fastnn.estimators import MLPClassifier, MLPRegressor
"""

from fastnn.estimators.classifier import MLPClassifier
from fastnn.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]

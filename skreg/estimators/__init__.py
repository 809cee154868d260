"""Estimators: scikit-learn's side of the networks.

An estimator checks the rows, encodes the target, has a network trained and decodes its outputs,
and has what scikit-learn asks of it: parameters, tags, fitted attributes, metadata routing.

>>> from skreg import RegularizedMLPClassifier
>>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
>>> model = RegularizedMLPClassifier((), alpha=0.01, solver="fista").fit(X, y)
>>> model.predict([[2.5]]).tolist()
['high']

The public names are in :mod:`skreg`: ``RegularizedMLPRegressor`` and
``RegularizedMLPClassifier`` of multi-layer perceptrons, ``RegularizedNetRegressor`` and
``RegularizedNetClassifier`` of any torch module, and ``to_onnx``.
"""

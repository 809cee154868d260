"""Losses: gradients against autograd, values against those of scikit-learn and torch."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn._loss import loss as reference
from strategies import tensors
from torch.nn.functional import huber_loss

from skreg.losses import (
    REGRESSION_LOSSES,
    AbsoluteError,
    CallableLoss,
    Huber,
    Logistic,
    Multinomial,
    Poisson,
    Quantile,
    SquaredError,
    make_regression_loss,
)

N_MEMBERS, N_SAMPLES, N_OUTPUTS = 2, 4, 3
raws = tensors(shape=(N_MEMBERS, N_SAMPLES, N_OUTPUTS), min_value=-5.0, max_value=5.0)
targets = tensors(shape=(N_SAMPLES, N_OUTPUTS), min_value=-5.0, max_value=5.0)
counts = tensors(shape=(N_SAMPLES, N_OUTPUTS), min_value=0.0, max_value=5.0)
labels = st.lists(st.integers(0, 1), min_size=12, max_size=12).map(
    lambda bits: torch.tensor(bits, dtype=torch.float64).reshape(N_SAMPLES, N_OUTPUTS)
)
classes = st.lists(st.integers(0, N_OUTPUTS - 1), min_size=4, max_size=4).map(
    lambda codes: torch.tensor(codes).reshape(N_SAMPLES, 1)
)

CASES = {
    "squared_error": (SquaredError(), targets),
    "absolute_error": (AbsoluteError(), targets),
    "huber": (Huber(0.7), targets),
    "poisson": (Poisson(), counts),
    "quantile": (Quantile(0.9), targets),
    "logistic": (Logistic(), labels),
    "multinomial": (Multinomial(), classes),
    "callable": (CallableLoss(lambda f, y: (f - y) ** 4), targets),
}
every_loss = pytest.mark.parametrize(("loss", "target"), CASES.values(), ids=CASES)


def test_every_named_loss_is_tested_here():
    assert set(REGRESSION_LOSSES) <= set(CASES)


@every_loss
@given(data=st.data(), raw=raws)
def test_gradient_is_autograds(loss, target, data, raw):
    y = data.draw(target)
    if not loss.smooth:
        # Autograd takes one side's slope in a kink, we 0: keep out of it.
        raw = torch.where((raw - y).abs() < 1e-9, raw + 0.1, raw)
    leaf = raw.clone().requires_grad_()
    loss.value(leaf, y).sum().backward()
    torch.testing.assert_close(loss.gradient(raw, y), leaf.grad)


@every_loss
@given(data=st.data(), raw=raws)
def test_members_and_samples_do_not_mix(loss, target, data, raw):
    y = data.draw(target)
    values = loss.value(raw, y)
    assert values.shape == (N_MEMBERS, N_SAMPLES)
    for member in range(N_MEMBERS):
        for i in range(N_SAMPLES):
            one = raw[member : member + 1, i : i + 1]
            torch.testing.assert_close(loss.value(one, y[i : i + 1])[0, 0], values[member, i])
            gradient = loss.gradient(one, y[i : i + 1])[0, 0]
            torch.testing.assert_close(gradient, loss.gradient(raw, y)[member, i])


@every_loss
@given(data=st.data(), raw=raws)
def test_each_member_may_have_other_targets(loss, target, data, raw):
    ys = torch.stack([data.draw(target), data.draw(target)])
    values, gradients = loss.value(raw, ys), loss.gradient(raw, ys)
    for member in range(N_MEMBERS):
        one = raw[member : member + 1]
        torch.testing.assert_close(loss.value(one, ys[member])[0], values[member])
        torch.testing.assert_close(loss.gradient(one, ys[member])[0], gradients[member])


REFERENCES = {
    "squared_error": (SquaredError(), targets, reference.HalfSquaredError()),
    "absolute_error": (AbsoluteError(), targets, reference.AbsoluteError()),
    "huber": (Huber(0.7), targets, reference.HuberLoss(delta=0.7)),
    "poisson": (Poisson(), counts, reference.HalfPoissonLoss()),
    "quantile": (Quantile(0.9), targets, reference.PinballLoss(quantile=0.9)),
    "logistic": (Logistic(), labels, reference.HalfBinomialLoss()),
}


@pytest.mark.parametrize(("loss", "target", "theirs"), REFERENCES.values(), ids=REFERENCES)
@given(data=st.data(), raw=raws)
def test_equals_scikit_learns(loss, target, theirs, data, raw):
    y = data.draw(target)
    flat_y, flat_raw = y.numpy().ravel(), raw[0].numpy().ravel()
    per_output = theirs.loss(y_true=flat_y, raw_prediction=flat_raw)
    if isinstance(loss, Poisson | Huber):
        # scikit-learn leaves out what does not depend on the prediction.
        zero = theirs.loss(y_true=flat_y, raw_prediction=np.zeros_like(flat_raw))
        per_output = per_output - zero
        per_output += loss.value(torch.zeros(1, 12, 1, dtype=torch.float64), y.reshape(12, 1))[
            0
        ].numpy()
    expected = per_output.reshape(N_SAMPLES, N_OUTPUTS).sum(1)
    np.testing.assert_allclose(loss.value(raw, y)[0].numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(
        loss.predict(raw)[0].numpy(), theirs.link.inverse(raw[0].numpy()), rtol=1e-10
    )


@given(raw=raws, y=classes)
def test_multinomial_equals_scikit_learns(raw, y):
    theirs = reference.HalfMultinomialLoss(n_classes=N_OUTPUTS)
    expected = theirs.loss(
        y_true=y.numpy().ravel().astype(float), raw_prediction=raw[0].numpy().copy()
    )
    np.testing.assert_allclose(Multinomial().value(raw, y)[0].numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(
        Multinomial().predict(raw)[0].numpy(), theirs.predict_proba(raw[0].numpy()), atol=1e-12
    )


@given(raw=raws, y=targets)
def test_huber_equals_torchs(raw, y):
    expected = huber_loss(raw[0], y, reduction="none", delta=0.7).sum(-1)
    torch.testing.assert_close(Huber(0.7).value(raw, y)[0], expected)


@pytest.mark.parametrize("loss", [Logistic(), Multinomial()])
def test_log_probabilities_stay_finite_where_probabilities_round_to_zero(loss):
    raw = torch.tensor([[-800.0, 800.0]])
    assert torch.isfinite(loss.log_predict(raw)).all()
    assert loss.log_predict(raw)[0, 0] <= -800


def test_quantile_half_is_half_the_absolute_error():
    raw, y = torch.tensor([[[3.0], [-2.0]]]), torch.zeros(2, 1)
    assert torch.equal(2 * Quantile(0.5).value(raw, y), AbsoluteError().value(raw, y))


def test_losses_can_be_called_on_predictions_and_targets():
    y_pred, y_true = torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)
    assert SquaredError()(y_pred, y_true).tolist() == [0.5, 4.5]


def test_parameters_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"Huber: delta must be positive.*0"):
        Huber(0.0)
    for quantile in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="Quantile: quantile must be strictly between"):
            Quantile(quantile)


def test_poisson_takes_no_negative_targets():
    Poisson().check_target(np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"loss='poisson' needs y ≥ 0.*Use another loss"):
        Poisson().check_target(np.array([1.0, -1.0]))


@pytest.mark.parametrize(
    "returned", [torch.tensor(1.0), torch.ones(3), 2.0], ids=["scalar", "wrong size", "float"]
)
def test_a_callable_must_return_one_value_per_sample(returned):
    loss = make_regression_loss(lambda f, y: returned)
    with pytest.raises(ValueError, match=r"one value per sample.*reduction='none'"):
        loss.value(torch.zeros(1, 2, 1), torch.zeros(2, 1))


def test_names_objects_and_callables_all_make_a_loss():
    assert make_regression_loss("quantile") == Quantile(0.5)
    assert make_regression_loss(Quantile(0.9)) == Quantile(0.9)
    assert isinstance(make_regression_loss(torch.nn.MSELoss(reduction="none")), CallableLoss)

"""Which alpha the scores of the folds favour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skreg.path.choice import alphas_of_rules, choose, comparable, finite_everywhere


def scores_of(draw, *shape):
    values = st.floats(-10, 10, allow_nan=False, width=32)
    flat = draw(st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return np.reshape(flat, shape)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_one_standard_error_never_picks_less_than_the_minimum(data):
    shape = [data.draw(st.integers(1, n)) for n in (3, 6, 5)]
    scores = scores_of(data.draw, *shape)
    alphas = np.sort(data.draw(st.permutations(range(1, 50)))[: shape[1]])
    alphas = np.tile(alphas / 10, (shape[0], 1))
    eligible = np.reshape(
        data.draw(st.lists(st.booleans(), min_size=alphas.size, max_size=alphas.size)),
        alphas.shape,
    )
    eligible[data.draw(st.integers(0, shape[0] - 1)), 0] = True
    best, sparse = (choose(alphas, scores, selection, eligible) for selection in ("min", "1se"))
    assert eligible[best]
    assert eligible[sparse]
    assert best[0] == sparse[0]
    assert alphas[sparse] >= alphas[best]
    means = scores.mean(2)
    assert means[best] == means[eligible].max()
    error = scores[best].std(ddof=1) / np.sqrt(shape[2]) if shape[2] > 1 else 0.0
    assert means[sparse] >= means[best] - error


def test_folds_whose_networks_are_of_another_size_have_no_say():
    of_all, of_folds = np.array([[10, 9, 4, 4, 1, 0]]), np.array([[10, 11, 10, 5, 2, 2]])
    everywhere = np.ones((1, 6), dtype=bool)
    assert comparable(of_all, of_folds[..., None], everywhere).tolist() == [
        [True, True, False, True, True, False]
    ]
    # Nothing to choose from would be worse.
    assert comparable(of_all + 50, of_folds[..., None], everywhere).all()


def test_alphas_whose_scores_are_not_finite_are_never_chosen():
    alphas = np.array([[1.0, 2.0, 3.0, 4.0]])
    scores = np.array([[[0.8, 0.8], [0.9, 0.8], [np.nan, 0.99], [-np.inf, 0.9]]])
    with pytest.warns(UserWarning, match="not finite") as warned:
        finite = finite_everywhere(alphas, scores)
    assert str(warned[0].message) == (
        "Test scores are not finite at 2 of 4 alphas, which are not chosen: alpha=3 (nan in "
        "fold 0), alpha=4 (-inf in fold 0)."
    )
    assert finite.tolist() == [[True, True, False, False]]
    assert choose(alphas, scores, "min", finite) == (0, 1)
    assert choose(alphas, scores, "1se", finite) == (0, 1)
    with pytest.raises(
        ValueError, match=r"No alpha can be chosen.*alpha=1 \(nan in fold 0 and"
    ):
        finite_everywhere(alphas, np.full_like(scores, np.nan))
    # Networks of another size are not taken in their place.
    alike = comparable(np.array([[9, 8, 1, 1]]), np.array([[[9], [1], [1], [1]]]), finite)
    assert alike.tolist() == [[True, False, False, False]]


def test_both_rules_at_one_l1_ratio_choose_as_an_estimator_does():
    alphas, everywhere = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, dtype=bool)
    # Of two equal means the larger alpha is the best; the standard error there is 0.1.
    scores = np.array([[0.9, 0.9], [0.8, 1.0], [0.7, 0.9], [np.nan, 0.9]])
    assert alphas_of_rules(alphas, scores, everywhere) == (2.0, 3.0)
    assert alphas_of_rules(alphas, scores, alphas < 2) == (1.0, 1.0)
    assert alphas_of_rules(alphas, scores, alphas > 3) == (None, None)

"""Penalties as a user writes them."""

from skreg.penalties import L1


class WithGamma(L1):
    """L1 times a parameter which may be one for each member, and is called as one of MCP's."""

    _per_member = ("alpha", "gamma")

    def __init__(self, alpha=None, gamma=0.5, adaptive=False):
        super().__init__(alpha, adaptive)
        self.gamma = gamma

    def _strengths(self, weight):
        return super()._strengths(weight) * self._along_members("gamma", weight)

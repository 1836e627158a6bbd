"""Five members that find out by gossip who is there, over UDP, and agree on who owns a key."""

import pytest

from pytest_coordchaos import Cluster


@pytest.mark.coordchaos(nodes=5, faults=["kill:one", "isolate:one"], seconds=5)
def test_members_agree_again(gossip_ring: Cluster) -> None:
    gossip_ring.run("lookups")

"""Names for containers that nobody named: ``calm_harbour``. Pure but for the choice, which is an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

_ADJECTIVES: Final = tuple(
    """amber ample ancient autumn bold brave bright brisk calm candid careful cheerful clear clever cool copper crisp
    curious deft eager early easy even fair fine firm fleet fond frank fresh gentle glad golden good grand green hale
    handy happy hardy hasty honest humble jolly keen kind lasting light lively loyal lucid lucky mellow merry mild
    neat nimble noble open patient plain polite proud quick quiet rapid ready rosy round rustic shy silver simple
    sincere smooth snug sober solid spry steady still stout sturdy subtle sunny sure swift tender tidy tranquil true
    vivid warm wise witty young""".split()
)
_NOUNS: Final = tuple(
    """acorn alder anchor anvil arch aspen badger barge basket beacon beech birch bison bobbin brook canyon cape cedar
    cinder clover compass coral crane creek delta dune eagle ember falcon fern finch fjord fox garden glade grove
    gull harbour hazel hearth heron hill island ivy juniper kestrel kettle lagoon lantern lark ledge lichen linden
    lynx maple marsh meadow mill moss oak orchard otter owl pebble pier pine plover pond poplar quarry raven reed
    reef ridge river robin rowan sail sparrow spring spruce squirrel stone stork swallow thistle tide timber trout
    tulip valley walnut wharf willow wren""".split()
)


def random_name(choose: Callable[[Sequence[str]], str]) -> str:
    """Return an adjective and a noun; ``choose`` picks one of a sequence."""
    return f"{choose(_ADJECTIVES)}_{choose(_NOUNS)}"

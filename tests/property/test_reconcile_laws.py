"""The laws of reconcile, over generated stacks and worlds on the engine in memory.

One apply converges; every single failure is survived by one more; plans are deterministic; any order that the
edges allow will do; and nothing is lost or touched that need not be.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stackctl.engines.memory import Fault
from stackctl.engines.memory_world import Behaviour
from stackctl.errors import EngineError, PlanError
from stackctl.model.container import Attachment, JoinNetworks, PublishedPort
from stackctl.model.deploy import Deploy, UpdatePolicy
from stackctl.model.health import HealthCheckOverride
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.stack import Service, Stack
from stackctl.reconcile.action import Action, RemoveVolume
from stackctl.reconcile.desired import resource_names
from stackctl.reconcile.engine import ResourceNames
from stackctl.reconcile.plan import Plan, Step
from stackctl.reconcile.plan_text import plan_text
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.up import plan_up
from tests.support.shop import NAME, Shop
from tests.support.worlds import (
    FOREIGN,
    History,
    any_order,
    histories,
    perform_all,
    plan_of,
    possible_stacks,
    run_one_off,
    update_policies,
)


def law(max_examples: int) -> settings:
    """The same examples on every run, and a bound on their number."""
    return settings(max_examples=max_examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


def end_state(shop: Shop) -> list[object]:
    """Return what the stack comes to, without what may differ: ids, times, free addresses and ports."""
    shop.engine.advance(10)  # what is still to happen by itself has happened
    found = shop.look()
    containers = [(c.name, c.key, c.spec, c.state, c.health, c.exit_code) for c in found.containers]
    return [containers, [n.spec for n in found.networks], [v.spec for v in found.volumes]]


def must_be_as_wanted(shop: Shop, stack: Stack) -> None:
    """There are as many containers as asked for, of the images asked for, no others, and all run or are done."""
    found = [container for container in shop.look().containers if not container.is_oneoff]
    images = sorted((container.key.name, container.image_ref) for container in found if container.key is not None)
    assert images == sorted((name, s.image) for name, s in stack.services.items() for _ in range(s.replicas))
    assert len(images) == len(found)
    # One that its restart policy is about to bring back is left to it.
    states = {c.name: c.state for c in found if not (c.state == "exited" and c.exit_code == 0)}
    assert set(states.values()) <= {"running", "restarting"}, states


def must_converge(shop: Shop, stack: Stack, content: str = "old") -> None:
    """One plan and apply, and the world is as wanted, and the next plan is empty."""
    plan = plan_of(shop, stack, content)
    report = shop.apply(plan)
    assert report.is_ok, f"{plan_text(plan)}\n{[(o.step.number, str(o.error)) for o in report.failures]}"
    must_be_as_wanted(shop, stack)
    left = plan_of(shop, stack, content)
    assert left.is_empty, f"{plan_text(plan)}\nthen\n{plan_text(left)}"


# -- one apply converges --------------------------------------------------------------------------------


@law(100)
@given(histories(), possible_stacks())
def test_one_apply_converges(history: History, stack: Stack) -> None:
    must_converge(history.shop(), stack)


# -- every single failure is survived -------------------------------------------------------------------


def fault_at(step: Step, moment: str) -> Callable[[Action], Fault | None]:
    """Return what makes the action of one step fail, every time."""
    error = EngineError("injected")

    def fault_of(action: Action) -> Fault | None:
        return Fault("before" if moment == "before" else "after", error) if action == step.action else None

    return fault_of


def must_survive(history: History, stack: Stack, at: int, moment: str) -> None:
    """The action of one step fails; one more plan and apply mend it."""
    shop = history.shop()
    plan = plan_of(shop, stack)
    shop.engine.fault_of = fault_at(plan.steps[at], moment)
    report = shop.apply(plan)
    assert plan.steps[at] in [outcome.step for outcome in report.failures]
    shop.engine.fault_of = lambda _: None
    must_converge(shop, stack)


BEFORE = """
services:
  web:
    image: web:1
    deploy: {replicas: 2}
    ports: ['8080:80']
    networks: [front, back]
    depends_on:
      db: {condition: service_healthy, restart: true}
      job: {condition: service_completed_successfully}
  job:
    image: job:1
    networks: [back]
    depends_on: [db]
  db:
    image: db:1
    networks: [back]
    volumes: [data:/data]
    healthcheck: {test: [CMD, ok]}
  old:
    image: old:1
    ports: ['8081:80']
networks:
  front:
  back:
volumes:
  data:
"""
AFTER = (
    BEFORE.replace("replicas: 2", "replicas: 3")
    .replace("db:1", "db:2")
    .replace("job:1", "job:2")
    .replace("'8080:80'", "'8081:80'")
    .replace("  old:", "  new:")
    .replace("'8081:80']\nnetworks", "'8080:80']\nnetworks")
    .replace("  front:\n  back:", "  front: {internal: true}\n  back:")
)


def test_every_single_failure_of_a_change_of_everything_is_survived() -> None:
    wanted = Shop().desired(AFTER)

    def begun() -> tuple[Shop, Plan]:
        shop = Shop({"job": Behaviour(exits_after_s=1)})
        shop.up(BEFORE)
        shop.desired_of(wanted.stack)
        return shop, shop.plan_of(wanted, remove_orphans=True)

    steps = begun()[1].steps
    assert len(steps) > 25
    for at in range(len(steps)):
        for moment in ("before", "after"):
            shop, plan = begun()
            shop.engine.fault_of = fault_at(plan.steps[at], moment)
            assert [outcome.step.number for outcome in shop.apply(plan).failures] == [at + 1]
            shop.engine.fault_of = lambda _: None
            again = shop.plan_of(wanted, remove_orphans=True)
            report = shop.apply(again)
            assert report.is_ok, (at, moment, plan_text(again), [str(o.error) for o in report.failures])
            assert plan_text(shop.plan_of(wanted, remove_orphans=True)) == ""


@law(40)
@given(histories(), possible_stacks(), st.integers(0, 1000), st.sampled_from(("before", "after")))
def test_any_single_failure_is_survived_by_one_more_apply(history: History, stack: Stack, at: int, moment: str) -> None:
    steps = [step for step in plan_of(history.shop(), stack).steps if not step.only_if_failed]
    assume(steps)
    must_survive(history, stack, steps[at % len(steps)].number - 1, moment)


@law(40)
@given(histories(), possible_stacks(), st.integers(0, 1000), st.integers(0, 40))
def test_being_cut_off_anywhere_is_survived_by_one_more_apply(
    history: History, stack: Stack, seed: int, steps: int
) -> None:
    shop = history.shop()
    perform_all(shop, any_order(plan_of(shop, stack), seed)[:steps])
    must_converge(shop, stack)


# -- traffic --------------------------------------------------------------------------------------------


def with_traffic(shop: Shop) -> int:
    """Return how many replicas of ``web`` are ready, and led to."""
    return sum(
        1
        for container in shop.look().containers
        if container.key is not None and container.key.name == "web"
        if container.state == "running" and container.health in ("healthy", "none") and not container.is_standby
    )


@law(60)
@given(st.integers(1, 4), update_policies(), st.booleans(), st.integers(0, 1000))
def test_the_old_number_of_ready_replicas_has_traffic_at_every_moment_of_a_start_first_update(
    count: int, policy: UpdatePolicy, has_check: bool, seed: int
) -> None:
    shop = Shop()
    health = HealthCheckOverride(test=("CMD", "ok")) if has_check else None
    port = PublishedPort(container_port=80, host_first=8080, host_last=8080)
    networking = JoinNetworks((Attachment(network="shop_net"),))
    deploy = Deploy(update=replace(policy, order="start-first"))
    web = Service(name="web", image="img:1", replicas=count, ports=(port,), networking=networking, healthcheck=health)
    before = Stack(
        name=NAME,
        services={"web": replace(web, deploy=deploy)},
        networks={"net": NetworkSpec(name="shop_net")},
    )
    perform_all(shop, plan_of(shop, before).steps)
    shop.engine.advance(1)
    assert with_traffic(shop) == count

    after = replace(before, services={"web": replace(before.services["web"], image="img:2")})
    for step in any_order(plan_of(shop, after), seed):
        perform_all(shop, [step])
        assert with_traffic(shop) >= count, step
    must_be_as_wanted(shop, after)


# -- plans are deterministic ----------------------------------------------------------------------------


def shuffled(observed: Observed, choice: random.Random) -> Observed:
    """Return the same, told in another order."""
    return replace(
        observed,
        containers=tuple(choice.sample(observed.containers, len(observed.containers))),
        networks=tuple(choice.sample(observed.networks, len(observed.networks))),
        volumes=tuple(choice.sample(observed.volumes, len(observed.volumes))),
    )


def reordered(stack: Stack, choice: random.Random) -> Stack:
    """Return the same stack, its services, networks and volumes written in another order."""
    fields = {}
    for name in ("services", "networks", "volumes"):
        entries = list(getattr(stack, name).items())
        choice.shuffle(entries)
        fields[name] = dict(entries)
    return replace(stack, **fields)


@law(40)
@given(histories(), possible_stacks(), st.integers(0, 1000))
def test_a_plan_does_not_depend_on_the_order_of_what_it_is_made_from(history: History, stack: Stack, seed: int) -> None:
    shop, choice = history.shop(), random.Random(seed)
    observed = shop.engine.snapshot("shop", resource_names(stack))
    policy, traits = Policy(remove_orphans=True), shop.engine.traits()
    first = plan_up(shop.desired_of(stack, {"config/motd": "old"}), observed, policy, traits)
    other = shop.desired_of(reordered(stack, choice), {"config/motd": "old"})
    second = plan_up(other, shuffled(observed, choice), policy, traits)
    assert plan_text(first) == plan_text(second)
    assert first == second


# -- any order that the edges allow ---------------------------------------------------------------------


@law(100)
@given(histories(), possible_stacks(), st.integers(0, 1000))
def test_any_order_the_edges_allow_comes_to_the_same_end(history: History, stack: Stack, seed: int) -> None:
    one, other = history.shop(), history.shop()
    plan = plan_of(one, stack)
    assert plan == plan_of(other, stack)
    perform_all(one, plan.steps)
    perform_all(other, any_order(plan, seed))
    assert plan_of(other, stack).is_empty
    must_be_as_wanted(other, stack)
    assert end_state(one) == end_state(other)


# -- safety ---------------------------------------------------------------------------------------------


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Whatever a user may ask of `up`."""
    services = draw(st.sampled_from(((), (), ("a",), ("b", "c"))))
    return Policy(
        services=services,
        no_deps=draw(st.booleans()),
        recreate=draw(st.sampled_from(("diverged", "force", "never"))),
        remove_orphans=draw(st.booleans()),
        no_start=draw(st.booleans()),
    )


def others(shop: Shop) -> list[object]:
    """Return all that is not the stack's, in full."""
    names = ResourceNames((FOREIGN,), (f"{FOREIGN}-net",), (f"{FOREIGN}-vol",))
    nobodys, another = shop.engine.snapshot("nobody", names), shop.engine.snapshot("other", ResourceNames())
    oneoffs = [container for container in shop.look().containers if container.is_oneoff]
    return [nobodys, another, oneoffs]


def planned(shop: Shop, stack: Stack, policy: Policy) -> Plan:
    """Return the plan of `up` under a policy, if it may be made."""
    wanted = shop.desired_of(stack, {"config/motd": "old"})
    observed = shop.engine.snapshot("shop", resource_names(stack))
    try:
        return plan_up(wanted, observed, policy, shop.engine.traits())
    except PlanError:
        assume(False)
        raise


@law(100)
@given(histories(), possible_stacks(), policies())
def test_up_destroys_nothing_touches_nothing_of_others_and_leaves_alone_what_it_keeps(
    history: History, stack: Stack, policy: Policy
) -> None:
    shop = history.shop()
    run_one_off(shop, history.first)
    before, volumes, bystanders = shop.containers_by_name(), shop.engine.volume_serials(), others(shop)
    plan = planned(shop, stack, policy)
    shop.apply(plan)
    assert not any(isinstance(step.action, RemoveVolume) for step in plan.steps)
    after = shop.engine.volume_serials()
    assert {name: after.get(name) for name in volumes} == volumes
    assert others(shop) == bystanders
    for change in plan.changes:
        if change.kind in ("keep", "update") and change.key.kind == "container":
            assert_untouched(shop, before, change.name, plan)


def assert_untouched(shop: Shop, before: Mapping[str, ObservedContainer], name: str, plan: Plan) -> None:
    """The container was neither replaced nor restarted, whatever it is called now."""
    now = shop.containers_by_name().get(name)
    ids = {container.id: container for container in before.values()}
    assert now is not None and now.id in ids, plan_text(plan)
    assert now.started_ns == ids[now.id].started_ns, plan_text(plan)


@law(40)
@given(histories(), st.booleans(), st.sampled_from(("down", "stop", "restart", "kill")))
def test_no_other_verb_destroys_what_it_was_not_asked_to(history: History, with_volumes: bool, verb: str) -> None:
    shop = history.shop()
    volumes, bystanders = shop.engine.volume_serials(), others(shop)
    plan = shop.plan_existing(verb, remove_volumes=with_volumes)
    assert shop.apply(plan).is_ok, plan_text(plan)
    left = shop.engine.volume_serials()
    lost = {name for name in volumes if left.get(name) != volumes[name]}
    if verb != "down" or not with_volumes:
        assert not lost
    assert all(name.startswith("shop_") for name in lost)
    assert others(shop) == bystanders
    if verb == "down":
        assert (shop.look().containers, shop.look().networks) == ((), ())

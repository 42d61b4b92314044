"""Every write of dispatch: plans, decisions, reservations, alerts."""

from dispatch.services.alerts import (
    close_alert,
    close_alert_by_key,
    open_alert,
    snooze_alert,
)
from dispatch.services.decisions import (
    DecisionRefused,
    accept_plan,
    dismiss_plan,
    undo_plan,
)
from dispatch.services.enforcement import (
    ask_to_stop,
    enforce,
    session_over,
    sweep_breaches,
)
from dispatch.services.following import (
    charger_lost,
    close_recovered,
    connector_changed,
    plugs_lost_unnoticed,
    replan,
    replan_affected,
    session_ended,
    session_started,
    silence_unnoticed,
)
from dispatch.services.notices import (
    close_settled_money,
    matter_key,
    money_key,
    settle_network_alerts,
    settle_webhook_alerts,
    show_network,
    show_webhook,
)
from dispatch.services.planning import (
    plan_charge_stop,
)
from dispatch.services.reservations import (
    LET_GO,
    answer_reservation,
    cancel_at_network,
    cancel_reservation,
    create_reservation,
    expire_reservations,
    has_promises,
    reserve_plan,
    send_again,
    send_reservation,
    waiting_reservations,
)
from dispatch.services.untold import give_back, remind

__all__ = [
    "LET_GO",
    "DecisionRefused",
    "accept_plan",
    "answer_reservation",
    "ask_to_stop",
    "cancel_at_network",
    "cancel_reservation",
    "charger_lost",
    "close_alert",
    "close_alert_by_key",
    "close_recovered",
    "close_settled_money",
    "connector_changed",
    "create_reservation",
    "dismiss_plan",
    "enforce",
    "expire_reservations",
    "give_back",
    "has_promises",
    "matter_key",
    "money_key",
    "open_alert",
    "plan_charge_stop",
    "plugs_lost_unnoticed",
    "remind",
    "replan",
    "replan_affected",
    "reserve_plan",
    "send_again",
    "send_reservation",
    "session_ended",
    "session_over",
    "session_started",
    "settle_network_alerts",
    "settle_webhook_alerts",
    "show_network",
    "show_webhook",
    "silence_unnoticed",
    "snooze_alert",
    "sweep_breaches",
    "undo_plan",
    "waiting_reservations",
]

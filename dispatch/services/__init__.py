"""Every write of dispatch: plans, decisions, reservations, alerts."""

from dispatch.services.alerts import (
    close_alert,
    close_alert_by_key,
    close_alerts_by_key,
    open_alert,
    snooze_alert,
    wake_alert,
)
from dispatch.services.assigning import plan_together
from dispatch.services.commands import (
    answer_command,
    order_moved,
    send_command,
    session_began,
    start_charging,
    stop_charging,
)
from dispatch.services.commands import session_over as stops_done
from dispatch.services.commands import sweep as sweep_commands
from dispatch.services.commands import unsent as unsent_commands
from dispatch.services.decisions import (
    DecisionRefused,
    accept_plan,
    dismiss_plan,
    undo_plan,
)
from dispatch.services.elsewhere import VehicleIsElsewhere
from dispatch.services.enforcement import (
    ask_to_stop,
    enforce,
    session_over,
    sweep_breaches,
)
from dispatch.services.extending import (
    extend_reservation,
    send_extension,
    unanswered_extensions,
)
from dispatch.services.following import (
    charger_lost,
    close_recovered,
    connector_changed,
    connectors_changed,
    plugs_lost_unnoticed,
    replan,
    replan_affected,
    session_ended,
    session_started,
    silence_over,
    silence_unnoticed,
)
from dispatch.services.foreseeing import close_early_alerts, close_needless, move_to_better, plan_early
from dispatch.services.learning import learn_from_answer
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
    Want,
    plan_charge_stop,
)
from dispatch.services.rebooking import (
    blocked,
    lose_place,
    lost_unnoticed,
    move,
    rebook,
)
from dispatch.services.rebooking import due as rebookings_due
from dispatch.services.reservations import (
    LET_GO,
    answer_reservation,
    ask_when_due,
    begin_reservations,
    cancel_at_network,
    cancel_reservation,
    create_reservation,
    expire_reservations,
    held_until_near,
    release_held_for_nobody,
    reserve_plan,
    send_again,
    send_reservation,
    waiting_reservations,
    wanted_connectors,
    with_promises,
)
from dispatch.services.untold import give_back, remind
from dispatch.services.vehicle_alarms import alarms_unnoticed, vehicle_alarm, vehicle_alarm_over
from dispatch.services.wishing import CommandRefused, unlock, wish

__all__ = [
    "LET_GO",
    "CommandRefused",
    "DecisionRefused",
    "VehicleIsElsewhere",
    "Want",
    "accept_plan",
    "alarms_unnoticed",
    "answer_command",
    "answer_reservation",
    "ask_to_stop",
    "ask_when_due",
    "begin_reservations",
    "blocked",
    "cancel_at_network",
    "cancel_reservation",
    "charger_lost",
    "close_alert",
    "close_alert_by_key",
    "close_alerts_by_key",
    "close_early_alerts",
    "close_needless",
    "close_recovered",
    "close_settled_money",
    "connector_changed",
    "connectors_changed",
    "create_reservation",
    "dismiss_plan",
    "enforce",
    "expire_reservations",
    "extend_reservation",
    "give_back",
    "held_until_near",
    "learn_from_answer",
    "lose_place",
    "lost_unnoticed",
    "matter_key",
    "money_key",
    "move",
    "move_to_better",
    "open_alert",
    "order_moved",
    "plan_charge_stop",
    "plan_early",
    "plan_together",
    "plugs_lost_unnoticed",
    "rebook",
    "rebookings_due",
    "release_held_for_nobody",
    "remind",
    "replan",
    "replan_affected",
    "reserve_plan",
    "send_again",
    "send_command",
    "send_extension",
    "send_reservation",
    "session_began",
    "session_ended",
    "session_over",
    "session_started",
    "settle_network_alerts",
    "settle_webhook_alerts",
    "show_network",
    "show_webhook",
    "silence_over",
    "silence_unnoticed",
    "snooze_alert",
    "start_charging",
    "stop_charging",
    "stops_done",
    "sweep_breaches",
    "sweep_commands",
    "unanswered_extensions",
    "undo_plan",
    "unlock",
    "unsent_commands",
    "vehicle_alarm",
    "vehicle_alarm_over",
    "waiting_reservations",
    "wake_alert",
    "wanted_connectors",
    "wish",
    "with_promises",
]

//! A line for a human.
//!
//! Invariant: what strangers wrote reaches the terminal without control
//! characters, so that no message moves the cursor or repaints the screen.

use std::time::Duration;

use super::line::{Content, Live, Shown, What};
use crate::clock::Unix;

/// The line, with the server's time where it has one and `now` otherwise.
pub(super) fn line(shown: &Shown, now: Unix) -> String {
    let told = shown.place.as_ref().map_or(0, |place| place.time_ms);
    let at = match u64::try_from(told) {
        Ok(told) if told > 0 => Unix(told),
        Ok(_) | Err(_) => now,
    };
    let place = shown.place.as_ref().filter(|place| place.seq > 0);
    let place = place.map_or(String::new(), |place| format!("#{} ", place.seq));
    clean(&format!("{} {place}{}", clock_face(at), text(&shown.what)))
}

/// Hours, minutes and seconds of the day, UTC.
fn clock_face(at: Unix) -> String {
    let seconds = at.seconds() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

fn clean(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(harmless).collect()
}

fn text(what: &What) -> String {
    match what {
        What::Connected {
            transport, again, ..
        } => format!(
            "connected{} over {transport}",
            if *again { " again" } else { "" }
        ),
        What::Disconnected {
            cause, retry_in_ms, ..
        } => format!("disconnected: {cause}{}", retry(*retry_in_ms)),
        What::ConnectFailed { error, retry_in_ms } => format!("{error}{}", retry(*retry_in_ms)),
        What::Waiting { room } => format!("room {room} does not exist yet, waiting for it"),
        What::Entered {
            room,
            again,
            online,
            live,
            ..
        } => {
            let again = if *again { " again" } else { "" };
            format!(
                "entered {room}{again}, {online} here{}",
                present_live(live.as_ref())
            )
        }
        What::ReenterFailed { room, error } => format!("cannot enter {room} again: {error}"),
        What::Gap { to_seq: 0, .. } => "the room began anew, something may be missing".to_owned(),
        What::Gap {
            from_seq,
            to_seq,
            cause,
            ..
        } => format!("gap: {from_seq} to {to_seq} missing ({cause})"),
        What::Lagged { skipped } => format!("{skipped} events skipped, this reader is too slow"),
        What::SigExpiring { .. } => "signature runs out".to_owned(),
        What::SigRenewed { .. } => "signature renewed".to_owned(),
        What::SigRenewFailed { error } => format!("signature not renewed: {error}"),
        What::GoAway {
            reason,
            reconnect_after_ms,
        } => format!(
            "gateway stops ({reason}), back in {}",
            span(*reconnect_after_ms)
        ),
        What::Unknown {} => "something that this version does not know".to_owned(),
        room => in_room(room),
    }
}

fn in_room(what: &What) -> String {
    match what {
        What::Message {
            from,
            nick,
            content,
            ..
        } => said(from, nick, content),
        What::Direct {
            from,
            nick,
            content,
            ..
        } => format!("to you, {}", said(from, nick, content)),
        What::Broadcast { from, content } => format!("to all, {}", said(from, "", content)),
        What::Presence {
            entered,
            left,
            online,
        } => {
            let signed = |sign: char, names: &[String]| -> String {
                names.iter().map(|name| format!("{sign}{name} ")).collect()
            };
            format!(
                "{}{}({online} here)",
                signed('+', entered),
                signed('-', left)
            )
        }
        What::PresenceDigest {
            online,
            entered_total,
            left_total,
            ..
        } => format!("{online} here ({entered_total} came, {left_total} went)"),
        What::Totals { likes } => format!("{likes} likes"),
        What::Attributes { version, .. } => format!("attributes changed (version {version})"),
        What::Publisher { user, joined } => {
            format!(
                "{user} {} the mic",
                if *joined { "takes" } else { "leaves" }
            )
        }
        What::Invitation { from, .. } => format!("{from} invites you to the mic"),
        What::Muted { until_ms: 0 } => "you may speak again".to_owned(),
        What::Muted { .. } => "you are muted".to_owned(),
        What::Kicked { reason } => format!("you are kicked: {reason}"),
        What::Dropped { count, .. } => format!("{count} messages skipped, this line is too slow"),
        What::RoleChanged { role } => format!("you are {role}"),
        What::RoomDestroyed { reason } => format!("the room is gone: {reason}"),
        What::InfoChanged { name, keys } => {
            format!("the room is {name:?} now, with {}", keys.join(", "))
        }
        What::Recalled { seqs } => format!("taken back: {seqs:?}"),
        What::Notice { content } => format!("notice: {content}"),
        What::InvitationEnded { outcome, .. } => format!("the invitation is over: {outcome}"),
        live => of_live(live),
    }
}

fn of_live(what: &What) -> String {
    match what {
        What::LiveStarted { host, .. } => format!("LIVE STARTED by {host}"),
        What::HostAway {
            cause, grace_ms, ..
        } => {
            let wait = if *grace_ms > 0 {
                format!(", waiting {}", span((*grace_ms).into()))
            } else {
                String::new()
            };
            format!("HOST AWAY ({cause}){wait}")
        }
        What::HostBack { host, .. } => format!("HOST BACK: {host}"),
        What::LiveEnded {
            reason,
            duration_ms,
            peak_viewers,
            total_viewers,
            messages,
            likes,
            ..
        } => {
            let lasted = span(u64::try_from(*duration_ms).unwrap_or(0));
            format!(
                "LIVE ENDED: {reason} after {lasted}, peak {peak_viewers} viewers, \
                 {total_viewers} in all, {messages} messages, {likes} likes"
            )
        }
        _ => String::new(),
    }
}

fn said(from: &str, nick: &str, content: &Content) -> String {
    let who = if nick.is_empty() {
        from.to_owned()
    } else {
        format!("{nick} ({from})")
    };
    match content {
        Content::Text { text } => format!("{who}: {text}"),
        Content::Custom { custom_type, bytes } => {
            format!("{who} sends {custom_type} ({bytes} bytes)")
        }
        Content::Gift {
            gift_id,
            combo_total,
            combo_ended: true,
            ..
        } => format!("{who} gave {combo_total} x {gift_id} in a row"),
        Content::Gift { gift_id, count, .. } => format!("{who} gives {count} x {gift_id}"),
        Content::Elements { kinds } => format!("{who} sends {}", kinds.join(", ")),
        Content::Empty {} => format!("{who} says nothing"),
    }
}

fn present_live(live: Option<&Live>) -> String {
    match live {
        Some(live) if live.phase == "ended" => format!(", the last live was {}'s", live.host),
        Some(live) => format!(", live of {} ({})", live.host, live.phase),
        None => String::new(),
    }
}

fn retry(retry_in_ms: Option<u64>) -> String {
    match retry_in_ms {
        Some(ms) => format!(", trying again in {}", span(ms)),
        None => ", not trying again".to_owned(),
    }
}

/// A span in the unit that suits it.
fn span(ms: u64) -> String {
    let span = Duration::from_millis(ms);
    match span.as_secs() {
        0 => format!("{ms} ms"),
        1..60 => format!("{:.1} s", span.as_secs_f64()),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Place;
    use super::*;

    fn shown(what: What) -> Shown {
        Shown {
            what,
            place: Some(Place {
                room: "demo".to_owned(),
                epoch: 1,
                seq: 17,
                time_ms: 3_723_000,
                source: "push",
            }),
        }
    }

    #[test]
    fn a_message_shows_its_place_time_and_sender_but_no_control_characters() {
        let what = What::Message {
            from: "ada".to_owned(),
            nick: "Ada\u{1b}[2J".to_owned(),
            role: "viewer",
            priority: "normal",
            content: Content::Text {
                text: "a\r\nb".to_owned(),
            },
        };
        let line = line(&shown(what), Unix(0));
        assert_eq!(
            line,
            "01:02:03 #17 Ada\u{fffd}[2J (ada): a\u{fffd}\u{fffd}b"
        );
    }

    #[test]
    fn the_end_of_a_live_tells_its_figures() {
        let what = What::LiveEnded {
            live_id: "l".to_owned(),
            reason: "host_crashed",
            ended_ms: 0,
            detection_ms: 0,
            duration_ms: 75_000,
            peak_viewers: 3,
            total_viewers: 5,
            messages: 7,
            likes: 11,
            gifts: 0,
            approximate: false,
        };
        assert_eq!(
            line(&shown(what), Unix(0)),
            "01:02:03 #17 LIVE ENDED: host_crashed after 1 min 15 s, peak 3 viewers, \
             5 in all, 7 messages, 11 likes"
        );
    }

    #[test]
    fn every_span_has_a_fitting_unit() {
        let spans = [
            (250, "250 ms"),
            (1_500, "1.5 s"),
            (61_000, "1 min 1 s"),
            (3_720_000, "1 h 2 min"),
        ];
        for (ms, expected) in spans {
            assert_eq!(span(ms), expected);
        }
    }
}

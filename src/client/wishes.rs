//! What is wished of the extensions: the properties about their parameters.

use super::property::Property;
use crate::error::{Code, Error, Result};
use crate::proto::{
    DateTime, DeliverBy, Demands, Envelope, Hold, MAX_HOLD, Mailbox, RecipientDelivery, ReversePath, Withheld,
    check_auth_sender, to_ascii,
};

/// The values as they were set, and what they mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) demands: Demands,
    deliver_by: String,
    hold_until: String,
    disabled: String,
    recipients: Vec<(String, RecipientDelivery)>,
}

impl Wishes {
    /// Sets a text; `None` if the property is none of these.
    pub(super) fn set_text(&mut self, property: Property, value: &str) -> Option<Result<()>> {
        Some(match property {
            Property::DeliverBy => self.set_deliver_by(value),
            Property::HoldUntil => self.set_hold_until(value),
            Property::AuthSender => self.set_auth_sender(value),
            Property::DisabledExtensions => self.set_disabled(value),
            _ => return None,
        })
    }

    pub(super) fn text(&self, property: Property) -> Option<&str> {
        Some(match property {
            Property::DeliverBy => &self.deliver_by,
            Property::HoldUntil => &self.hold_until,
            Property::AuthSender => &self.demands.auth_sender,
            Property::DisabledExtensions => &self.disabled,
            _ => return None,
        })
    }

    /// Sets a number; `None` if the property is none of these.
    pub(super) fn set_integer(&mut self, property: Property, name: &str, value: i64) -> Option<Result<()>> {
        Some(match property {
            Property::HoldFor => self.set_hold_for(name, value),
            Property::MtPriority => in_range(name, value, -9, 9).map(|priority| self.demands.priority = priority),
            Property::RequireTls => {
                in_range(name, value, 0, 1).map(|wanted: i8| self.demands.require_tls = wanted == 1)
            }
            _ => return None,
        })
    }

    pub(super) fn integer(&self, property: Property) -> Option<i64> {
        Some(match property {
            Property::HoldFor => match self.demands.hold {
                Some(Hold::For(seconds)) => i64::from(seconds),
                _ => 0,
            },
            Property::MtPriority => i64::from(self.demands.priority),
            Property::RequireTls => i64::from(self.demands.require_tls),
            _ => return None,
        })
    }

    /// Wishes something of one address; nothing of any, if there is no address.
    pub(super) fn set_recipient(&mut self, address: Option<&str>, options: u32, original: Option<&str>) -> Result<()> {
        let Some(address) = address else {
            self.recipients.clear();
            return Ok(());
        };
        let address = to_ascii(Mailbox::parse(address)?.as_str())?;
        let delivery = RecipientDelivery::parse(options, original)?;
        self.recipients.retain(|(other, _)| !is_same(other, &address));
        if !delivery.is_empty() {
            self.recipients.push((address.into_owned(), delivery));
        }
        Ok(())
    }

    /// Adds to an envelope what is wished of its recipients.
    pub(super) fn fill_recipients(&self, envelope: &mut Envelope) {
        if self.recipients.is_empty() {
            return;
        }
        for index in 0..envelope.len() {
            if let Some(own) = self.of_recipient(envelope.recipient(index).unwrap_or_default()) {
                envelope.set_recipient_delivery(index, own.clone());
            }
        }
    }

    /// What is wished of one address, its domain in ASCII.
    pub(super) fn of_recipient(&self, address: &str) -> Option<&RecipientDelivery> {
        self.recipients.iter().find(|(other, _)| is_same(other, address)).map(|(_, own)| own)
    }

    /// What is to be treated as not offered.
    pub(super) fn disabled(&self) -> impl Iterator<Item = Withheld> {
        self.disabled.split(' ').filter(|keyword| !keyword.is_empty()).map(|keyword| Withheld {
            keyword: keyword.to_owned(),
            reason: "switched off by SMTP_PROPERTY_DISABLED_EXTENSIONS".to_owned(),
        })
    }

    fn set_deliver_by(&mut self, value: &str) -> Result<()> {
        self.demands.deliver_by = if value.is_empty() { None } else { Some(DeliverBy::parse(value)?) };
        value.clone_into(&mut self.deliver_by);
        Ok(())
    }

    fn set_hold_for(&mut self, name: &str, value: i64) -> Result<()> {
        let seconds: u32 = in_range(name, value, 0, MAX_HOLD)?;
        match self.demands.hold {
            Some(Hold::Until(_)) if seconds > 0 => return Err(excluded("HOLD_FOR", "HOLD_UNTIL")),
            Some(Hold::Until(_)) => {}
            _ => self.demands.hold = (seconds > 0).then_some(Hold::For(seconds)),
        }
        Ok(())
    }

    fn set_hold_until(&mut self, value: &str) -> Result<()> {
        let until = if value.is_empty() { None } else { Some(Hold::Until(DateTime::parse(value)?)) };
        match self.demands.hold {
            Some(Hold::For(_)) if until.is_some() => return Err(excluded("HOLD_UNTIL", "HOLD_FOR")),
            Some(Hold::For(_)) => {}
            _ => self.demands.hold = until,
        }
        value.clone_into(&mut self.hold_until);
        Ok(())
    }

    fn set_auth_sender(&mut self, value: &str) -> Result<()> {
        if value.is_empty() {
            self.demands.auth_sender.clear();
        } else {
            let sender = match ReversePath::parse(value)? {
                ReversePath::Null => value.into(),
                ReversePath::Mailbox(mailbox) => to_ascii(mailbox.as_str())?,
            };
            check_auth_sender(&sender)?.clone_into(&mut self.demands.auth_sender);
        }
        Ok(())
    }

    fn set_disabled(&mut self, value: &str) -> Result<()> {
        let keywords: Vec<_> = value.split(' ').filter(|keyword| !keyword.is_empty()).collect();
        for keyword in &keywords {
            check_keyword(keyword)?;
        }
        self.disabled = keywords.join(" ").to_ascii_uppercase();
        Ok(())
    }
}

/// Checks the keyword of an extension (RFC 5321 section 4.1.1.1, `ehlo-keyword`).
pub(super) fn check_keyword(keyword: &str) -> Result<()> {
    let fits = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    if fits {
        return Ok(());
    }
    let shown: String = keyword.chars().take(100).collect();
    let what =
        format!("\"{}\" is not the keyword of an extension: letters, digits and hyphens only", shown.escape_debug());
    Err(Error::caller(Code::INVALID_PARAMETER, what))
}

fn in_range<T: TryFrom<i64> + Into<i64> + Copy>(name: &str, value: i64, least: T, most: T) -> Result<T> {
    let (least, most) = (least.into(), most.into());
    T::try_from(value).ok().filter(|_| (least..=most).contains(&value)).ok_or_else(|| {
        let what = format!("the value {value} of {name} is not between {least} and {most}");
        Error::caller(Code::INVALID_PARAMETER, what)
    })
}

fn excluded(name: &str, other: &str) -> Box<Error> {
    let what = format!("{name} excludes {other}, which is set: a message is held in one way only");
    Error::caller(Code::INVALID_PARAMETER, what).with_remedy(format!("Clear {other} first."))
}

/// Whether two mailboxes are one: the local part is the receiver's own affair
/// (RFC 5321 section 2.4), the domain is the same in any case.
fn is_same(one: &str, other: &str) -> bool {
    let parts = |text: &str| text.rfind('@').unwrap_or(0);
    let ((local, domain), (other_local, other_domain)) = (one.split_at(parts(one)), other.split_at(parts(other)));
    local == other_local && domain.eq_ignore_ascii_case(other_domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_set_and_mean_something() {
        let mut wishes = Wishes::default();
        let text = |wishes: &mut Wishes, property, value| {
            wishes.set_text(property, value).expect("a wish").map_err(|error| error.code)
        };
        assert_eq!(text(&mut wishes, Property::DeliverBy, "120;r"), Ok(()));
        assert_eq!(text(&mut wishes, Property::DeliverBy, "x"), Err(Code::INVALID_PARAMETER));
        assert_eq!(wishes.text(Property::DeliverBy), Some("120;r"), "a mistake changes nothing");
        assert_eq!(text(&mut wishes, Property::AuthSender, "J <j@b\u{fc}cher.example>"), Ok(()));
        assert_eq!(wishes.text(Property::AuthSender), Some("j@xn--bcher-kva.example"));
        assert_eq!(text(&mut wishes, Property::DisabledExtensions, " dsn  Size"), Ok(()));
        assert_eq!(wishes.text(Property::DisabledExtensions), Some("DSN SIZE"));
        assert_eq!(text(&mut wishes, Property::DisabledExtensions, "A,B"), Err(Code::INVALID_PARAMETER));
        assert_eq!(wishes.disabled().map(|each| each.keyword).collect::<Vec<_>>(), ["DSN", "SIZE"]);
        assert_eq!(text(&mut wishes, Property::DeliverBy, ""), Ok(()));
        assert!(wishes.demands.deliver_by.is_none() && wishes.set_text(Property::Host, "").is_none());
    }

    #[test]
    fn a_message_is_held_in_one_way() {
        let mut wishes = Wishes::default();
        let moment = "2026-11-02T11:00:00+01:00";
        assert!(wishes.set_hold_for("HOLD_FOR", 10).is_ok());
        assert_eq!(wishes.set_hold_until(moment).expect_err("excluded").code, Code::INVALID_PARAMETER);
        assert!(wishes.set_hold_until("").is_ok());
        assert_eq!((wishes.integer(Property::HoldFor), wishes.text(Property::HoldUntil)), (Some(10), Some("")));
        assert!(wishes.set_hold_for("HOLD_FOR", 0).is_ok() && wishes.set_hold_until(moment).is_ok());
        assert_eq!(wishes.set_hold_for("HOLD_FOR", 1).expect_err("excluded").code, Code::INVALID_PARAMETER);
        assert!(wishes.set_hold_for("HOLD_FOR", 0).is_ok());
        assert_eq!((wishes.integer(Property::HoldFor), wishes.text(Property::HoldUntil)), (Some(0), Some(moment)));
        for bad in [-1, 1_000_000_000, i64::MIN] {
            assert_eq!(wishes.set_hold_for("HOLD_FOR", bad).expect_err("range").code, Code::INVALID_PARAMETER);
        }
    }

    #[test]
    fn numbers_have_limits() {
        let mut wishes = Wishes::default();
        for (property, good, bad) in
            [(Property::MtPriority, [-9, 9], [-10, 10]), (Property::RequireTls, [0, 1], [-1, i64::MAX])]
        {
            for value in good {
                assert!(wishes.set_integer(property, "X", value).expect("a wish").is_ok());
                assert_eq!(wishes.integer(property), Some(value));
            }
            for value in bad {
                let error = wishes.set_integer(property, "X", value).expect("a wish").expect_err("range");
                assert_eq!(error.code, Code::INVALID_PARAMETER);
            }
        }
    }

    #[test]
    fn recipients_are_the_same_by_their_domain_in_any_case() {
        assert!(is_same("a@B.example", "a@b.Example") && is_same("postmaster", "postmaster"));
        assert!(!is_same("A@b.example", "a@b.example") && !is_same("a@b.example", "a@c.example"));
        let mut wishes = Wishes::default();
        let set = |wishes: &mut Wishes, address, options| wishes.set_recipient(Some(address), options, None);
        assert!(set(&mut wishes, "a@b.example", 0x8000).is_ok() && set(&mut wishes, "c@b.example", 0x10000).is_ok());
        assert!(set(&mut wishes, "a@B.example", 0x20000).is_ok(), "in the place of the one before");
        assert_eq!(wishes.recipients.len(), 2);
        assert!(set(&mut wishes, "C@b.example", 0).is_ok() && set(&mut wishes, "c@b.example", 0).is_ok());
        assert_eq!(wishes.recipients.len(), 1);
        assert!(wishes.set_recipient(None, 0, None).is_ok() && wishes.recipients.is_empty());
    }
}

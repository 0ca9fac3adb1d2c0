//! The properties about TLS that can be written.

use super::property::Property;
use crate::error::{Code, Error, Result};
use crate::net::pins::Pins;
use crate::net::tls_settings::{TlsSettings, TlsVersion, server_name};
use crate::proto::Secret;

/// Whether the text of a property may have line ends in it.
pub(super) fn has_lines(property: Property) -> bool {
    matches!(
        property,
        Property::CaData
            | Property::TlsPins
            | Property::ClientCertificateData
            | Property::ClientKeyData
            | Property::ClientKeyPassword
    )
}

/// Sets a text; `None` if the property is none of these.
pub(super) fn set_tls_text(tls: &mut TlsSettings, property: Property, value: &str) -> Option<Result<()>> {
    match property {
        Property::CaFile => value.clone_into(&mut tls.authorities.file),
        Property::CaFolder => value.clone_into(&mut tls.authorities.folder),
        Property::CaData => value.clone_into(&mut tls.authorities.data),
        Property::CrlFile => value.clone_into(&mut tls.crl_file),
        Property::ClientCertificate => value.clone_into(&mut tls.identity.certificate),
        Property::ClientKey => value.clone_into(&mut tls.identity.key),
        Property::TlsServerName => {
            if !value.is_empty()
                && let Err(error) = server_name(value)
            {
                return Some(Err(Error::caller(error.code, error.what)));
            }
            value.clone_into(&mut tls.server_name);
        }
        Property::TlsPins => match Pins::parse(value) {
            Ok(pins) => tls.pins = pins,
            Err(error) => return Some(Err(error)),
        },
        _ => return set_tls_data(tls, property, value.as_bytes()).then_some(Ok(())),
    }
    Some(Ok(()))
}

/// Sets what need not be text; false if the property is none of these.
pub(super) fn set_tls_data(tls: &mut TlsSettings, property: Property, value: &[u8]) -> bool {
    let place = match property {
        Property::ClientCertificateData => &mut tls.identity.certificate_data,
        Property::ClientKeyData => &mut tls.identity.key_data,
        Property::ClientKeyPassword => &mut tls.identity.password,
        _ => return false,
    };
    *place = Secret::new(value);
    true
}

pub(super) fn tls_text(tls: &TlsSettings, property: Property) -> Option<&str> {
    Some(match property {
        Property::CaFile => &tls.authorities.file,
        Property::CaFolder => &tls.authorities.folder,
        Property::CaData => &tls.authorities.data,
        Property::CrlFile => &tls.crl_file,
        Property::ClientCertificate => &tls.identity.certificate,
        Property::ClientKey => &tls.identity.key,
        Property::TlsServerName => &tls.server_name,
        Property::TlsPins => tls.pins.as_str(),
        _ => return None,
    })
}

/// Sets a number; `None` if the property is none of these.
pub(super) fn set_tls_integer(tls: &mut TlsSettings, property: Property, name: &str, value: i64) -> Option<Result<()>> {
    let version = || {
        let found = TlsVersion::ALL.iter().find(|(version, ..)| *version as i64 == value);
        found.map(|(version, ..)| *version).ok_or_else(|| {
            let what = format!("the value {value} of {name} is none of the SMTP_TLS_VERSION_ constants");
            Error::caller(Code::INVALID_PARAMETER, what)
        })
    };
    Some(match property {
        Property::TlsMinVersion => version().map(|version| tls.least = version),
        Property::TlsMaxVersion => version().map(|version| tls.most = version),
        Property::TlsResumption if matches!(value, 0 | 1) => {
            tls.resumption = value == 1;
            Ok(())
        }
        Property::TlsResumption => {
            let what = format!("the value {value} of {name} is not between 0 and 1");
            Err(Error::caller(Code::INVALID_PARAMETER, what))
        }
        _ => return None,
    })
}

pub(super) fn tls_integer(tls: &TlsSettings, property: Property) -> Option<i64> {
    Some(match property {
        Property::TlsMinVersion => tls.least as i64,
        Property::TlsMaxVersion => tls.most as i64,
        Property::TlsResumption => i64::from(tls.resumption),
        _ => return None,
    })
}

"""What `ssl-mode`, `ssl-ca`, `ssl-cert` and `ssl-key` of the url mean, as in the mysql client.

disabled: none. preferred (the default): where the server has it, unverified. required: always, unverified.
verify_ca: the certificate is signed by ssl-ca (or by a CA that this machine trusts); the default with ssl-ca.
verify_identity: and it names the host of the url.
"""

from __future__ import annotations

import ssl

from cdc.errors import ConfigError
from cdc_source_mysql.options import Address

_VERIFYING = ("verify_ca", "verify_identity")


def tls_context(address: Address, where: str) -> ssl.SSLContext | None:
    """None where PyMySQL needs none from us: TLS is off, or preferred without certificates.

    Raises:
        ConfigError: a file of certificates can't be used.
    """
    mode = address.ssl_mode or ("verify_ca" if address.ssl_ca else "preferred")
    if mode == "disabled":
        return None
    if mode == "preferred" and not address.ssl_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify_identity"
    context.verify_mode = ssl.CERT_REQUIRED if mode in _VERIFYING else ssl.CERT_NONE
    if mode in _VERIFYING:
        _load_authorities(context, address, where)
    if address.ssl_cert:
        _load_own(context, address, where)
    return context


def _load_authorities(context: ssl.SSLContext, address: Address, where: str) -> None:
    if not address.ssl_ca:
        context.load_default_certs()
        return
    # A certificate of an authority that the server made for itself lacks what the strict reading wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=address.ssl_ca)
    except OSError as error:  # ssl.SSLError is one.
        raise _unusable("ssl-ca", "certificates of authorities", where) from error


def _load_own(context: ssl.SSLContext, address: Address, where: str) -> None:
    try:
        context.load_cert_chain(address.ssl_cert, address.ssl_key or None)
    except OSError as error:
        raise _unusable("ssl-cert and ssl-key", "a certificate and its key", where) from error


def _unusable(setting: str, expected: str, where: str) -> ConfigError:
    return ConfigError(
        f"the files of {setting} can't be used",
        where=f"{where}.url",
        remedy=f"Expected readable PEM files with {expected}.",
    )

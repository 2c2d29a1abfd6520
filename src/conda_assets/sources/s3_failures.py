"""From S3's refusals to our errors, each with the next step. S3 says why in the `Code` of a body of XML.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from conda_assets.errors import AccessDenied, AssetFailed, NotThere
from conda_assets.regexes import regex
from conda_assets.sources.asking import Answer
from conda_assets.sources.s3_account import has_botocore
from conda_assets.sources.s3_place import Place
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["INSTALL", "REFUSED", "code_of", "failure"]

_CODE = regex(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")
_RENEW = "renew them: `aws sso login`, or set `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` anew"
#: How to get what signs.
INSTALL = "`pip install 'conda-assets[s3]'` or `conda install -c conda-forge botocore`"
#: S3's code → what is wrong, and what to do.
REFUSED = {
    "ExpiredToken": ("the AWS credentials have expired", _RENEW),
    "TokenRefreshRequired": ("the AWS credentials have expired", _RENEW),
    "InvalidToken": ("the AWS session token is not accepted", _RENEW),
    "InvalidAccessKeyId": (
        "the access key is not known there",
        "check `AWS_ACCESS_KEY_ID` or `AWS_PROFILE`, and `?endpoint=` where the bucket is not at AWS",
    ),
    "SignatureDoesNotMatch": (
        "the secret key does not belong to the access key",
        "check `AWS_SECRET_ACCESS_KEY` or the profile for a sign that was lost while copying",
    ),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set it, for example with `timedatectl set-ntp true`"),
    "InvalidObjectState": ("the object is in an archive", "have it restored first: `aws s3api restore-object`"),
}
_ELSEWHERE = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})


def code_of(answer: Answer) -> str:
    """S3's own word for what is wrong, empty where it says none."""
    match = _CODE.search(answer.body[:4096])
    return match[1].decode() if match else ""


def failure(asset: str, place: Place, answer: Answer, *, signed: bool, near: str = "") -> AssetFailed:
    """The error for an answer that is not the object. `near`: what to say where the key is not there."""
    code, url = code_of(answer), f"s3://{place.bucket}/{place.key}"
    where = answer.shown.split("/")[2]
    if code == "NoSuchBucket":
        return NotThere(asset, f"{where} has no bucket {place.bucket}", "check its name, and `?endpoint=` if it is not at AWS")
    if code in REFUSED:
        cause, fix = REFUSED[code]
        return AccessDenied(asset, f"{url}: {cause} ({code} from {where})", fix)
    if code in _ELSEWHERE or answer.status == 301:
        return NotThere(asset, f"{place.bucket} is in another region than the one asked", "write its region: `?region=eu-west-1`")
    if answer.status == 404:
        return NotThere(asset, f"{where} has no object {url}", near or f"list what is there: `aws s3 ls s3://{place.bucket}/`")
    if answer.status in (401, 403):
        said = f" ({code} from {where})" if code else f" ({answer.status} from {where})"
        return AccessDenied(asset, f"{url} may not be read{' with these credentials' if signed else ''}{said}", _way_in(signed))
    return of_status(asset, answer.status, answer.shown, retry_after_s(answer.headers.get("Retry-After")))


def _way_in(signed: bool) -> str:
    if signed:
        return "choose other credentials with `AWS_PROFILE`, or ask the bucket's owner for s3:GetObject and s3:ListBucket"
    if not has_botocore():
        return f"credentials need botocore: {INSTALL}"
    return "set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; `aws configure` writes them down"

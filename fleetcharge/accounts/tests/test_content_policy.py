"""The content policy: pages have no inline script, style or handler, and none would run."""

import re

import pytest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path",
    ["/login/", "/dispatch/", "/wall/", "/stations/", "/fleet/", "/reports/", "/monitoring/", "/settings/", "/privacy/",
     "/start/", "/wallet/", "/wallet/limits/", "/fleet/connect/", "/no-such-page/"],
)  # fmt: skip
def test_pages_have_no_inline_code_and_the_policy_allows_none(client, owner, path):
    if path != "/login/":
        client.force_login(owner)
    answer = client.get(path)
    policy, text = answer["Content-Security-Policy"], answer.content.decode()
    assert "unsafe" not in policy
    nonce = re.search(r"script-src 'self' 'nonce-([\w-]+)'", policy)[1]
    assert f"style-src 'self' 'nonce-{nonce}'" in policy
    assert not re.search(r"""<[^>]*\s(?:style|on[a-z]+)=["']""", text)
    for script in re.findall(r"<(?:script|style)\b[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script or f'nonce="{nonce}"' in script, script

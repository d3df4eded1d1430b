#!/usr/bin/env python3
"""One AWS call, its parameters and its answer as JSON: what the demo and the tests break things by hand with.

    aws.py lambda UpdateFunctionConfiguration '{"FunctionName": "shop-primary", "MemorySize": 128}' --region us-east-1

Credentials and endpoint come from the environment, as for every AWS tool (AWS_ENDPOINT_URL for an emulator).
Binary values are text in parameters, and base64 in the answer where they are not text.
"""

import argparse
import base64
import json
import sys

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def plain(value):
    """What json does not know: streams, bytes and times."""
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def method_name(client, operation):
    """The client's method for an operation given as AWS writes it, or already as a method's name."""
    for method, name in client.meta.method_to_api_mapping.items():
        if operation in (name, method):
            return method
    raise SystemExit(f"{client.meta.service_model.service_name} has no operation {operation}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service")
    parser.add_argument("operation")
    parser.add_argument("parameters", nargs="?", default="{}", help="JSON, or - for standard input")
    parser.add_argument("--region", default="us-east-1")
    arguments = parser.parse_args()

    text = sys.stdin.read() if arguments.parameters == "-" else arguments.parameters
    client = botocore.session.get_session().create_client(
        arguments.service,
        region_name=arguments.region,
        # A bucket in the host name does not resolve where the endpoint is an address.
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    try:
        answer = getattr(client, method_name(client, arguments.operation))(**json.loads(text))
    except ClientError as error:
        detail = error.response.get("Error", {})
        raise SystemExit(f"{detail.get('Code', 'Unknown')}: {detail.get('Message', error)}")
    except BotoCoreError as error:
        raise SystemExit(f"{type(error).__name__}: {error}")
    answer.pop("ResponseMetadata", None)
    json.dump(answer, sys.stdout, default=plain, indent=2)
    print()


if __name__ == "__main__":
    main()

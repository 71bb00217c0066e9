"""Triton's entry to face_verify; the thinking is in ensemble/."""

from ensemble.endpoint import Endpoint
from ensemble.handlers import verify


class TritonPythonModel:
    def initialize(self, args):
        self.endpoint = Endpoint(args, verify)

    def execute(self, requests):
        self.endpoint.submit(requests)

    def finalize(self):
        self.endpoint.close()

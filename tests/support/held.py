"""Requests of a page that wait until a test answers them."""

from __future__ import annotations

from re import Pattern

from playwright.sync_api import Page, Route

from .follower import wait_until


class Held:
    """The requests of `page` for the address `url`, in the order of their arrival."""

    def __init__(self, page: Page, url: str | Pattern[str]) -> None:
        self.routes: list[Route] = []
        self._page = page
        self._url = url
        page.route(url, lambda route: self.routes.append(route))

    def wait_for(self, number: int, what: str) -> Route:
        """The newest request, when there were so many; fails with the name `what` if there never are."""

        def is_there() -> bool:
            # handles what the browser has sent
            self._page.evaluate("0")
            return len(self.routes) == number

        wait_until(is_there, what)
        return self.routes[-1]

    def release(self) -> None:
        """Send these requests and all later ones to the service."""
        # the newest handler of an address is the one that is called
        self._page.route(self._url, lambda route: route.continue_())
        for route in self.routes:
            route.continue_()

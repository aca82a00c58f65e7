// The worker of all tabs of a browser. It lives as long as one of them is open.

import { Hub } from "./hub.js";

const hub = new Hub();
addEventListener("connect", ({ ports: [port] }) => hub.add(port));

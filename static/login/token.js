// A link may bring a token: …/#token=SECRET, or …/#token=SECRET&to=/runs/x. This script runs before all
// others and takes the token out of the address and the history. app.js logs in with it.
{
  const read = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  const take = () => {
    const found = location.hash.match(/^#token=([^&]*)(?:&to=(.*))?$/);
    if (!found) return;
    const to = read(found[2] ?? "/");
    history.replaceState(null, "", `#${to.startsWith("/") ? to : "/"}`);
    globalThis.linkToken = read(found[1]);
  };
  take();
  addEventListener("hashchange", take);
}

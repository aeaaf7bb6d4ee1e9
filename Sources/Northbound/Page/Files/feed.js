// What the agent tells: all there is at first, then what changes of it.

const POLL = 10_000;
const RETRY = 60_000;
const HIDDEN = 60_000;

/**
 * Follows the agent for as long as the page is looked at.
 *
 * `take(part, isWhole)` gets what came; `tell(is, text)` how the connection stands: live, slow, lost, refused or asleep.
 */
export function follow(take, tell) {
  let source = null;
  let timer = 0;
  let sleep = 0;

  function begin() {
    close();
    source = new EventSource('/ui/events');
    source.addEventListener('state', (event) => {
      take(JSON.parse(event.data), true);
      tell('live', 'Live');
    });
    source.addEventListener('change', (event) => take(JSON.parse(event.data), false));
    source.addEventListener('error', () => {
      // A browser comes back by itself unless it was refused: by too many pages, or as somebody who may not look.
      if (source?.readyState === EventSource.CLOSED) poll(Date.now() + RETRY);
      else tell('lost', 'Connection lost; trying again');
    });
  }

  async function poll(end) {
    close();
    try {
      const answer = await fetch('/ui/state', { cache: 'no-store' });
      if (!answer.ok) {
        tell('refused', answer.status === 401 || answer.status === 403 ? 'Not allowed to look' : `Error ${answer.status}`);
      } else {
        take(await answer.json(), true);
        tell('slow', `Every ${POLL / 1000} s: too many pages follow`);
      }
    } catch {
      tell('lost', 'The agent does not answer; trying again');
    }
    timer = setTimeout(() => (Date.now() < end ? poll(end) : begin()), POLL);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  // Nobody sees a hidden page, and the agent has no work with it.
  document.addEventListener('visibilitychange', () => {
    clearTimeout(sleep);
    if (!document.hidden) {
      if (!source && !timer) begin();
      return;
    }
    sleep = setTimeout(() => {
      close();
      timer = 0;
      tell('asleep', 'Paused while hidden');
    }, HIDDEN);
  });
  // A page that is left and may be come back to keeps no connection.
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => event.persisted && begin());
  begin();
}

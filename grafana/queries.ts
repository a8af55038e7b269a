/** The variables of the dashboard, as label matchers. Agent families have no `app`. */
export const HOSTS: string = 'instance=~"$instance"';
export const APPS: string = `${HOSTS},app=~"$app"`;

/** A family with its matchers, without the prefix that all of ours have. */
export function series(name: string, matchers: string): string {
  return `relayledger_${name}{${matchers}}`;
}

/** Per second, over a window that holds several scrapes. */
export function rate(selector: string): string {
  return `rate(${selector}[$__rate_interval])`;
}

/** The ten apps that moved most over the whole of what is shown, so that lines don't come and go with their rank. */
export function topApps(selector: string): string {
  return `sum by (app) (${rate(selector)}) and topk(10, sum by (app) (rate(${selector}[$__range] @ end())))`;
}

/**
 * How far a counter advanced in what is shown. Unlike `increase` it has all of an app that was first seen in it, be it
 * with a single scrape: such a series began at zero if the agent was already there without it.
 */
export function movedInRange(selector: string): string {
  const since = `${selector} - ${selector} offset $__range >= 0`;
  const fresh = `(${selector} unless ${selector} offset $__range) and on (instance) relayledger_build_info offset $__range`;
  return `sum by (app) (${since} or ${fresh} or increase(${selector}[$__range]))`;
}

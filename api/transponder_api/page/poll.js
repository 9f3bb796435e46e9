// Asks again and again while the page is seen.

const INTERVAL = 1000;
const SLOWEST = 4000;

export class Poll {
  /** task(isCurrent) runs each second; after one that fails it is tried more and more slowly. */
  constructor(task) {
    this.task = task;
    this.round = 0;
    this.failures = 0;
    document.addEventListener('visibilitychange', () => this.refresh());
  }

  /** At once, and then each second. What an earlier round still brings is out of date. */
  async refresh() {
    clearTimeout(this.timer);
    const round = ++this.round;
    if (document.hidden) return;
    const good = await this.task(() => round === this.round);
    if (round !== this.round) return;
    this.failures = good ? 0 : this.failures + 1;
    this.timer = setTimeout(() => this.refresh(), Math.min(INTERVAL * 2 ** this.failures, SLOWEST));
  }

  stop() {
    clearTimeout(this.timer);
    this.round += 1;
  }
}

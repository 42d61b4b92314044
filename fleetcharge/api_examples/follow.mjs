// Live status of every CCS2 plug. Whatever breaks, go on from the last cursor: nothing is missed, nothing comes twice.
const { BASE, KEY, CURSOR = "" } = process.env;
let cursor = CURSOR;
for (;;) {
  try {
    const headers = { Authorization: `Bearer ${KEY}`, "Last-Event-ID": cursor };
    const answer = await fetch(`${BASE}/api/v1/stream/?plug=ccs2`, { headers });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    let text = "";
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      const lines = (text + chunk).split("\n");
      text = lines.pop();
      for (const line of lines.filter((each) => each.startsWith("data: "))) {
        const message = JSON.parse(line.slice(6));
        for (const change of message.changes ?? []) console.log(change.connector, change.old, change.status);
        cursor = message.cursor;
      }
    }
  } catch (error) {
    console.error(error.message);
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

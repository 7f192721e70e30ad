// Reads workflows and actions as GitHub does, and says what it would refuse. Bundled before it is run: the package imports
// JSON in a way that not every Node.js knows.
import { readFileSync } from 'node:fs';
import { NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow } from '@actions/workflow-parser';
import { parseAction } from './node_modules/@actions/workflow-parser/dist/actions/action-parser.js';

async function refusals(file) {
  const entry = { name: file, content: readFileSync(file, 'utf8') };
  const isAction = /\/action\.ya?ml$/.test(file);
  const { context, value } = (isAction ? parseAction : parseWorkflow)(entry, new NoOperationTraceWriter());
  if (!isAction && value) await convertWorkflowTemplate(context, value);
  return context.errors.getErrors().map((error) => `${file}: ${error.message}`);
}

Promise.all(process.argv.slice(2).map(refusals)).then((found) => {
  for (const line of found.flat()) console.log(line);
  process.exitCode = found.flat().length ? 1 : 0;
});

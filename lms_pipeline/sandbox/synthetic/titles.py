"""Titles of courses.

What belongs here: words. How a course goes is drawn in `courses.py`.
"""

YEARLY = (
    "Information Security Essentials",
    "Data Protection and Privacy",
    "Anti-Bribery & Corruption",
    "Health and Safety at Work",
    "Code of Conduct",
)
"""Trainings that everybody has to take every year."""

ONBOARDING = ("Welcome Aboard", "Your First 30 Days: Tools and Teams")
"""Trainings of who joins."""

ELECTIVES = (
    "Writing Clear E-mails",
    "Presenting with Confidence",
    "Spreadsheets: From Formulas to Pivot Tables",
    "Project Management Foundations",
    "Giving and Receiving Feedback",
    "Python for Analysts",
    "SQL in Practice",
    "Time Management That Lasts",
    "Negotiation Skills",
    "Introduction to Machine Learning",
    "Customer Conversations: Listening First",
    "Inclusive Hiring",
    "Mindfulness at Work",
    "Leading Remote Teams",
    "Accessible Documents",
    "Business English: Meetings",
    "Deutsch für den Beruf: Stufe B1",
    "Gestión de conflictos",
    "Premiers secours en entreprise",
    "Основы проектного управления",
    "ビジネスマナー入門",
    "中文商务写作",
    "Forklift Refresher",
    "Cloud Fundamentals",
    "Design Thinking Workshop",
    "Storytelling with Data",
    "Budgeting for Non-Financial Managers",
    "Coaching Conversations",
    "Incident Response Drill",
    "Sustainability Basics",
)
"""Courses that people take because they want to; the catalogue grows along this list year by year."""

PROGRAMMES = (
    "Certificate in Web Development",
    "Digital Marketing Diploma",
    "UX Research Bootcamp",
    "Bookkeeping: Level 2",
)
"""Courses that begin once a quarter with a class."""
